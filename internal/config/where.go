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
