package judge

import "net/netip"

// countRepairs counts the UPDATE in work if something in it was put right.
func (s *Session) countRepairs() {
	u := &s.update
	a := &u.attrs
	for f := range u.withdrawn {
		if u.withdrawn[f].trimmed {
			a.fix(0, "a prefix had host bits, which are ignored (RFC 4271 section 4.3)")
		}
	}
	if u.reach.trimmed || u.nlri.trimmed {
		a.fix(0, "a prefix had host bits, which are ignored (RFC 4271 section 4.3)")
	}
	if !a.fault.is() {
		s.dropReplaced()
	}
	if a.fixed && (!a.fault.is() || a.fault.loop != notLooped) {
		s.counts.Repaired++
		if a.repair.kind != nothing {
			s.last = a.repair
		}
	}
}

// dropReplaced takes out of the withdrawn prefixes those that the same UPDATE
// announces (RFC 4271 section 4.3: it is treated as if they were not withdrawn).
func (s *Session) dropReplaced() {
	u := &s.update
	for f := range u.withdrawn {
		w := &u.withdrawn[f]
		nlri, reach := f == IPv4 && len(u.nlri.prefixes) > 0, u.family == f && len(u.reach.prefixes) > 0
		if len(w.prefixes) == 0 || !nlri && !reach {
			continue
		}
		if u.announced == nil {
			u.announced = make(map[prefix]struct{})
		}
		clear(u.announced)
		if nlri {
			u.collect(u.nlri.prefixes)
		}
		if reach {
			u.collect(u.reach.prefixes)
		}
		kept := w.prefixes[:0]
		for _, p := range w.prefixes {
			if _, ok := u.announced[p]; !ok {
				kept = append(kept, p)
			} else if u.attrs.repair.kind == nothing {
				u.attrs.fix(0, "withdrawn and announced in one UPDATE: announced (RFC 4271 section 4.3)")
				u.attrs.repair.prefix = p.netip(f)
			}
		}
		w.prefixes = kept
	}
}

func (u *update) collect(prefixes []prefix) {
	for _, p := range prefixes {
		u.announced[p] = struct{}{}
	}
}

// withdraw takes out of the tables what the UPDATE in work withdraws, and all
// that it announces if it has a fault (RFC 7606 section 2, treat-as-withdraw),
// and lets in those that waited for the room.
func (s *Session) withdraw() {
	u := &s.update
	for f := range u.withdrawn {
		s.remove(f, u.withdrawn[f].prefixes)
	}
	if f := &u.attrs.fault; f.is() {
		s.remove(u.family, u.reach.prefixes)
		s.remove(IPv4, u.nlri.prefixes)
		if n := len(u.reach.prefixes) + len(u.nlri.prefixes); n > 0 && f.loop == notLooped {
			s.noteWithdrawn(*f, n, u.firstAnnounced())
			why := &note{kind: withdrawn, attr: f.attr, why: f.why, args: f.args}
			s.remember(u.family, u.reach.prefixes, why)
			s.remember(IPv4, u.nlri.prefixes, why)
		}
	}
	for f := range s.tables {
		s.admit(f)
	}
}

// firstAnnounced is the first prefix that the UPDATE announces, if any.
func (u *update) firstAnnounced() netip.Prefix {
	if len(u.reach.prefixes) > 0 {
		return u.reach.prefixes[0].netip(u.family)
	}
	return u.nlri.prefixes[0].netip(IPv4)
}

// remove takes prefixes out of a table.
func (s *Session) remove(f int, prefixes []prefix) {
	t := &s.tables[f]
	s.forgetLooped(f, prefixes...)
	s.forgetInvalid(f, prefixes...)
	for _, p := range prefixes {
		e, ok := t.get(p)
		if !ok {
			continue
		}
		if e.verdict() == accepted {
			s.withdrawOne(f, p, e)
		}
		s.attrs.release(e.attrs)
		t.delete(p, e)
	}
}

// admit hands on those that have waited longest while there is room.
func (s *Session) admit(f int) {
	t := &s.tables[f]
	for t.refused > 0 && (s.cfg.Policy.MaxPrefixes == 0 || t.accepted < s.cfg.Policy.MaxPrefixes) {
		p, e := t.next()
		t.set(p, e.with(accepted))
		s.out.announce(f, p, e.attrs)
	}
}

// announceAll enters what the UPDATE in work announces. The NLRI field comes
// last, as it does in the message: if a prefix is in both it wins.
func (s *Session) announceAll(dst []byte) []byte {
	u := &s.update
	if u.attrs.fault.is() {
		if l := u.attrs.fault.loop; l != notLooped {
			s.dropLooped(l)
		}
		return dst
	}
	if len(u.reach.prefixes) > 0 {
		if u.hop4 {
			u.blob = u.route.classic(u.blob[:0], [4]byte(u.hop[:4]))
		} else {
			u.blob = u.route.reach(u.blob[:0], u.hop)
		}
		dst = s.announce(dst, u.family, u.reach.prefixes)
	}
	if len(u.nlri.prefixes) > 0 && s.err == nil {
		u.blob = u.route.classic(u.blob[:0], u.route.nextHop)
		dst = s.announce(dst, IPv4, u.nlri.prefixes)
	}
	return dst
}

// announce enters prefixes with the attributes in s.update.blob, and appends
// what is to be handed on of them. It sets s.err when there are too many.
func (s *Session) announce(dst []byte, f int, prefixes []prefix) []byte {
	id, n := s.attrs.hold(s.update.blob, s.cfg.Policy.HardMaxPrefixes)
	if n != nil {
		s.fail(n)
		return dst
	}
	for _, p := range prefixes {
		if n := s.enter(f, p, id); n != nil {
			s.fail(n)
			break
		}
	}
	dst = s.flush(dst)
	s.attrs.release(id)
	return dst
}

// enter enters one prefix.
func (s *Session) enter(f int, p prefix, id attrID) *Notification {
	t := &s.tables[f]
	hard := s.cfg.Policy.HardMaxPrefixes
	if e, ok := t.get(p); ok {
		if e.stale() && hard > 0 && s.announces(f) >= hard {
			return tooMany(f, hard)
		}
		e = t.refresh(p, e)
		if e.attrs == id {
			return nil
		}
		s.attrs.release(e.attrs)
		s.attrs.retain(id)
		e.attrs = id
		t.replace(p, e)
		if e.verdict() == accepted {
			s.out.announce(f, p, id)
		}
		return nil
	}
	s.forgetLooped(f, p)
	s.forgetInvalid(f, p)
	if hard > 0 && s.announces(f) >= hard {
		return tooMany(f, hard)
	}
	v := filtered
	if s.cfg.Policy.Accept != nil && s.cfg.Policy.Accept(p.netip(f)) {
		v = waiting
		if s.cfg.Policy.MaxPrefixes == 0 || t.accepted < s.cfg.Policy.MaxPrefixes {
			v = accepted
			s.out.announce(f, p, id)
		}
	}
	s.attrs.retain(id)
	t.add(p, id, v)
	return nil
}
