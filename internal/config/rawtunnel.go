package config

import "reflect"

// tables is a table that a file may have several times: [key], or [[key]] for each.
type tables[T any] struct {
	v     []T
	heads []place // where each begins
}

// repeatable is a *tables of any type.
type repeatable interface {
	// add puts a table behind those that there are, and returns it until the next is added.
	add(head place) reflect.Value
	// schema is the type of one.
	schema() reflect.Type
}

func (t *tables[T]) add(head place) reflect.Value {
	t.v, t.heads = append(t.v, *new(T)), append(t.heads, head)
	return reflect.ValueOf(&t.v[len(t.v)-1]).Elem()
}

func (t *tables[T]) schema() reflect.Type { return reflect.TypeFor[T]() }

type rawTunnel struct {
	Transport           value[string]     `toml:"transport"`
	Remotes             value[list]       `toml:"remotes"`
	Fingerprint         value[string]     `toml:"fingerprint"`
	Fingerprints        value[list]       `toml:"fingerprints"`
	SecretFile          value[string]     `toml:"secret_file"`
	SecretFiles         value[list]       `toml:"secret_files"`
	InvitationFile      value[string]     `toml:"invitation_file"`
	CAFile              value[string]     `toml:"ca_file"`
	PeerName            value[string]     `toml:"peer_name"`
	PublicKey           value[string]     `toml:"public_key"`
	PublicKeys          value[list]       `toml:"public_keys"`
	PresharedKeyFile    value[string]     `toml:"preshared_key_file"`
	PrivateKeyFiles     value[list]       `toml:"private_key_files"`
	Link                value[int64]      `toml:"link"`
	Interface           value[string]     `toml:"interface"`
	MTU                 value[int64]      `toml:"mtu"`
	Address             value[wordOrList] `toml:"address"`
	PeerAddress         value[string]     `toml:"peer_address"`
	Assign              value[list]       `toml:"assign"`
	Probe               value[string]     `toml:"probe"`
	Underlay            value[string]     `toml:"underlay"`
	Keepalive           value[string]     `toml:"keepalive"`
	DeadAfter           value[string]     `toml:"dead_after"`
	PersistentKeepalive value[string]     `toml:"persistent_keepalive"`
	RemoteOrder         value[string]     `toml:"remote_order"`
	ReturnToFirst       value[bool]       `toml:"return_to_first"`
	ConnectTimeout      value[string]     `toml:"connect_timeout"`
	Congestion          value[string]     `toml:"congestion"`
	UDPPort             value[int64]      `toml:"udp_port"`
	Datapath            value[string]     `toml:"datapath"`
	ListenPort          value[int64]      `toml:"listen_port"`
	Weight              value[int64]      `toml:"weight"`
	Preference          value[int64]      `toml:"preference"`

	ECN  value[bool]         `toml:"ecn"`
	DSCP value[nameOrNumber] `toml:"dscp"`
}

// inheritable is a *value that a further tunnel may take from the first, and a peer from its
// template.
type inheritable interface {
	isThere() bool
	takeFrom(first inheritable)
	copyFrom(template inheritable, name string, meant bool)
}

func (v *value[T]) isThere() bool { return v.state != absent }

// takeFrom takes the value of the first tunnel where this one has none. It keeps the first's
// place.
func (v *value[T]) takeFrom(first inheritable) {
	if f := first.(*value[T]); v.state == absent && f.state != absent {
		*v = *f
		v.inherited = true
	}
}

// methods are the keys that each name a way to know the peer. A tunnel that has one of them
// takes none from the first.
func (t *rawTunnel) methods() []inheritable {
	return []inheritable{&t.Fingerprint, &t.Fingerprints, &t.SecretFile, &t.SecretFiles, &t.InvitationFile, &t.CAFile, &t.PublicKey, &t.PublicKeys}
}

// common are the other keys that are as in the first tunnel where they are absent.
func (t *rawTunnel) common() []inheritable {
	return []inheritable{&t.Transport, &t.PeerName, &t.PresharedKeyFile, &t.PrivateKeyFiles, &t.Assign, &t.MTU, &t.Probe, &t.Keepalive, &t.DeadAfter,
		&t.PersistentKeepalive, &t.RemoteOrder, &t.ReturnToFirst, &t.ConnectTimeout, &t.Congestion, &t.UDPPort, &t.Datapath, &t.Weight, &t.Preference,
		&t.ECN, &t.DSCP}
}

// single are the keys by which one tunnel differs from another, so that each has its own. Of
// address that goes for addresses; that they are assigned goes for all tunnels, see inherit.
func (t *rawTunnel) single() []inheritable {
	return []inheritable{&t.Remotes, &t.Underlay, &t.Interface, &t.Link, &t.Address, &t.PeerAddress, &t.ListenPort}
}

// inherit fills in what a further tunnel of a peer leaves out. What means nothing with its
// transport is there then too, and ignored.
func (t *rawTunnel) inherit(first *rawTunnel) {
	own := false
	for _, m := range t.methods() {
		own = own || m.isThere()
	}
	if !own {
		for i, m := range t.methods() {
			m.takeFrom(first.methods()[i])
		}
	}
	for i, k := range t.common() {
		k.takeFrom(first.common()[i])
	}
	if first.assigned() && !t.PeerAddress.isThere() && t.Transport.v != TransportExternal && t.Datapath.v != DatapathKernel {
		t.Address.takeFrom(&first.Address)
	}
}

// secretPlace, publicKeyPlace and fingerprintPlace are where these are, as one value or as a
// list.
func (t *rawTunnel) secretPlace() place      { return either(t.SecretFile, t.SecretFiles) }
func (t *rawTunnel) publicKeyPlace() place   { return either(t.PublicKey, t.PublicKeys) }
func (t *rawTunnel) fingerprintPlace() place { return either(t.Fingerprint, t.Fingerprints) }

func either(one value[string], more value[list]) place {
	if more.state == given {
		return more.place
	}
	return one.place
}
