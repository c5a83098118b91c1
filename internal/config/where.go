package config

import (
	"fmt"
	"net/netip"
	"reflect"
)

// Where returns where a key of a peer's [bgp] is written, as FILE:LINE: in the peer's file, or in the
// template that it takes. "" if it is not, so that its default holds.
func (c *Config) Where(peer, key string) string {
	for i := range c.Peers {
		if c.Peers[i].Name == peer && c.Peers[i].raw != nil {
			return whereIn(&c.Peers[i].raw.BGP, key)
		}
	}
	return ""
}

// Written is an element of a list as it is written.
type Written struct {
	Text  string
	Where string // FILE:LINE
}

// WrittenFilters returns the filters of a peer's import or export, in their order. There are none where
// the key is not written, so that its default holds.
func (c *Config) WrittenFilters(peer, key string) (all []Written) {
	for i := range c.Peers {
		p := &c.Peers[i]
		if p.Name != peer || p.raw == nil {
			continue
		}
		v := &p.raw.BGP.Import
		if key == "export" {
			v = &p.raw.BGP.Export
		}
		for _, e := range v.v {
			all = append(all, Written{e.text, fmt.Sprintf("%s:%d", v.file, e.line)})
		}
	}
	return all
}

// TemplateWith returns the template from which a peer has a key of [bgp]; "" if it does not have it from one.
func (c *Config) TemplateWith(peer, key string) string {
	for i := range c.Peers {
		p := &c.Peers[i]
		if p.Name != peer || p.raw == nil {
			continue
		}
		v := reflect.ValueOf(&p.raw.BGP).Elem()
		for n := range v.NumField() {
			if v.Type().Field(n).Tag.Get("toml") == key {
				if at, given := v.Field(n).Addr().Interface().(givable).isGiven(); given {
					return at.template
				}
			}
		}
	}
	return ""
}

// WhereRouter returns where a key of warren.toml is written that is in no table, or in [bgp]. "" if it
// is not.
func (c *Config) WhereRouter(key string) string {
	switch {
	case c.raw == nil:
		return ""
	case key == "router_id":
		return whereIs(&c.raw.RouterID)
	}
	return whereIn(&c.raw.BGP, key)
}

// WhereRedistribute returns where [announce] redistribute is written, as FILE:LINE. "" if it is not.
func (c *Config) WhereRedistribute() string {
	if c.raw == nil {
		return ""
	}
	return whereIs(&c.raw.Announce.Redistribute)
}

// WhereNetwork returns where a prefix is written in networks, as FILE:LINE. "" if it is not.
func (c *Config) WhereNetwork(p netip.Prefix) string {
	if c.raw == nil {
		return ""
	}
	for _, e := range c.raw.Announce.Networks.v {
		if is, err := parsePrefix(e.text); err == nil && is == p {
			return fmt.Sprintf("%s:%d", c.raw.Announce.Networks.file, e.line)
		}
	}
	return ""
}

// whereIn finds a key of a raw struct that has no tables.
func whereIn(raw any, key string) string {
	v := reflect.ValueOf(raw).Elem()
	for i := range v.NumField() {
		if v.Type().Field(i).Tag.Get("toml") == key {
			return whereIs(v.Field(i).Addr().Interface().(givable))
		}
	}
	return ""
}

// givable is a *value of any type.
type givable interface{ isGiven() (place, bool) }

func whereIs(v givable) string {
	at, given := v.isGiven()
	if !given {
		return ""
	}
	return fmt.Sprintf("%s:%d", at.file, at.line)
}
