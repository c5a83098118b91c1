package judge

// maxInvalid bounds how many prefixes of each family are remembered of those that were treated as
// withdrawn. A peer that sends more is not worth more memory: of them some are remembered.
const maxInvalid = 1000

// invalids are prefixes that the peer announced with something malformed, and that it has neither
// withdrawn nor announced well since; and what was wrong.
type invalids map[prefix]*note

// remember takes note of prefixes that are treated as withdrawn. They share n.
func (s *Session) remember(f int, prefixes []prefix, n *note) {
	if s.invalid[f] == nil && len(prefixes) > 0 {
		s.invalid[f] = make(invalids)
	}
	for _, p := range prefixes[:min(len(prefixes), maxInvalid)] {
		if _, known := s.invalid[f][p]; !known && len(s.invalid[f]) >= maxInvalid {
			for other := range s.invalid[f] { // one of them
				delete(s.invalid[f], other)
				break
			}
		}
		s.invalid[f][p] = n
	}
}

// forgetInvalid is for prefixes that are withdrawn, or announced once more.
func (s *Session) forgetInvalid(f int, prefixes ...prefix) {
	for _, p := range prefixes {
		if len(s.invalid[f]) == 0 {
			s.invalid[f] = nil // a map never gives memory back by itself
			return
		}
		delete(s.invalid[f], p)
	}
}
