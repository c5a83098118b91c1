package protocol

// remote is what is known of a peer before any handshake.
type remote struct {
	public       PublicKey
	preshared    PresharedKey
	staticStatic [KeyLen]byte // DH of the two static keys
}

// initiation is a handshake that this end began, until the response arrives.
type initiation struct {
	symmetric
	way       *way
	ephemeral PrivateKey
	index     uint32 // ours
}

// sendingKeys are what a finished handshake yields.
type sendingKeys struct{ initiator, responder [KeyLen]byte }

// newInitiation begins a handshake (section 5.4.2). The message has no MACs yet.
func newInitiation(me *identity, to *remote, index uint32, now timestamp) (*initiation, []byte, error) {
	hs := &initiation{symmetric: newSymmetric(&to.public), ephemeral: NewPrivateKey(), index: index}
	e := hs.ephemeral.Public()
	msg := header(make([]byte, 0, initiationLen), typeInitiation, index)
	msg = append(msg, e[:]...)
	hs.mixEphemeral(&e)

	secret, err := hs.ephemeral.dh(&to.public)
	if err != nil {
		return nil, nil, err
	}
	key := hs.mixKey(secret[:])
	msg = hs.seal(msg, &key, me.public[:])

	key = hs.mixKey(to.staticStatic[:])
	return hs, hs.seal(msg, &key, now[:]), nil
}

// received is an initiation of a peer, half way through: the peer has not been
// looked up yet.
type received struct {
	symmetric
	ephemeral PublicKey
	static    PublicKey
	sender    uint32 // the peer's index
	timestamp []byte // sealed
}

// openInitiation finds out who sent an initiation. That it is who it says is only
// proved by prove.
func openInitiation(me *identity, m initiationMsg) (*received, error) {
	r := &received{
		symmetric: newSymmetric(&me.public),
		ephemeral: m.ephemeral, sender: m.sender, timestamp: m.timestamp,
	}
	r.mixEphemeral(&r.ephemeral)
	secret, err := me.private.dh(&r.ephemeral)
	if err != nil {
		return nil, err
	}
	key := r.mixKey(secret[:])
	static, err := r.open(nil, &key, m.static)
	if err != nil {
		return nil, err
	}
	r.static = PublicKey(static)
	return r, nil
}

// prove opens the timestamp, which only the owner of both static keys can seal.
func (r *received) prove(from *remote) (timestamp, error) {
	key := r.mixKey(from.staticStatic[:])
	ts, err := r.open(nil, &key, r.timestamp)
	if err != nil {
		return timestamp{}, err
	}
	return timestamp(ts), nil
}

// respond finishes the responder's part (section 5.4.3). The message has no MACs
// yet.
func (r *received) respond(to *remote, index uint32) (sendingKeys, []byte, error) {
	ephemeral := NewPrivateKey()
	defer clear(ephemeral[:])
	e := ephemeral.Public()
	msg := header(make([]byte, 0, responseLen), typeResponse, index, r.sender)
	msg = append(msg, e[:]...)
	r.mixEphemeral(&e)
	for _, theirs := range []*PublicKey{&r.ephemeral, &to.public} {
		secret, err := ephemeral.dh(theirs)
		if err != nil {
			return sendingKeys{}, nil, err
		}
		r.mixKey(secret[:])
	}
	key := r.mixPreshared(&to.preshared)
	msg = r.seal(msg, &key, nil)
	var keys sendingKeys
	keys.initiator, keys.responder = r.split()
	return keys, msg, nil
}

// finish takes the response to our initiation, which stays as it is if the
// response is not authentic.
func (hs *initiation) finish(me *identity, from *remote, m responseMsg) (sendingKeys, error) {
	s := hs.symmetric
	defer s.erase()
	s.mixEphemeral(&m.ephemeral)
	for _, mine := range []*PrivateKey{&hs.ephemeral, &me.private} {
		secret, err := mine.dh(&m.ephemeral)
		if err != nil {
			return sendingKeys{}, err
		}
		s.mixKey(secret[:])
	}
	key := s.mixPreshared(&from.preshared)
	if _, err := s.open(nil, &key, m.empty); err != nil {
		return sendingKeys{}, err
	}
	var keys sendingKeys
	keys.initiator, keys.responder = s.split()
	return keys, nil
}

// erase forgets the secrets of a handshake that is over.
func (hs *initiation) erase() {
	hs.symmetric.erase()
	clear(hs.ephemeral[:])
}
