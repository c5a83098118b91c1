package tlslink

import (
	"container/list"
	"net"
	"sync"
)

// perLink is how many connections a peer may have, for each of its links, whose keys
// are proved and which are not yet part of a session, or are being refused. One that
// comes up has one, and one that opens lanes has three.
const perLink = 8

// pending bounds what peers hold with connections that say no hello, or that nobody
// wants. When one comes too many the oldest is closed: a peer that was cut off may
// have left some. Its methods may be called from any goroutine.
type pending struct {
	mu sync.Mutex
	of map[string]*list.List // of net.Conn, oldest first, by the id of a credential
}

// enter counts a connection of the peer with a credential, of which there may be so
// many. leave may be called several times, from when it is part of a session or closed.
func (p *pending) enter(id string, most int, conn net.Conn) (leave func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.of == nil {
		p.of = make(map[string]*list.List)
	}
	conns := p.of[id]
	if conns == nil {
		conns = list.New()
		p.of[id] = conns
	}
	if conns.Len() >= most {
		conns.Remove(conns.Front()).(net.Conn).Close()
	}
	place := conns.PushBack(conn)
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		conns.Remove(place) // does nothing if it is not in it any more
		if conns.Len() == 0 && p.of[id] == conns {
			delete(p.of, id)
		}
	}
}

// size is how many connections a peer has.
func (p *pending) size(id string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	if conns := p.of[id]; conns != nil {
		return conns.Len()
	}
	return 0
}
