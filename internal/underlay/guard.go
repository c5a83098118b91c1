package underlay

import (
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Config says which routes the guard must keep the transports away from.
type Config struct {
	FIBTable    int          // table that owned routes are written to; 0 means main
	FIBProtocol int          // protocol number of owned routes (1 to 255); the guard's rules and copies carry it too
	Logger      *slog.Logger // nil means slog.Default()

	// Heard gets the kernel's notifications that the guard gets, its own changes among them, so
	// that nobody else has to listen; type 0 is that some were lost. The payload is valid during
	// the call, which must not block. May be nil.
	Heard func(typ uint16, payload []byte)
}

// A Guard keeps the packets of marked sockets on the underlay. See the package
// documentation for how. All methods may be called from any goroutine; Run
// owns the kernel's state.
type Guard struct {
	fibTable uint32
	protocol uint8
	uid      uint32 // that the transports' sockets belong to
	log      *slog.Logger
	heard    func(typ uint16, payload []byte)

	ready chan struct{}
	kick  chan struct{} // has room for one: something below has changed
	dirty atomic.Uint32 // flags of type dirty

	// watched is by address family, and set by Run's goroutine alone.
	watched map[int]*atomic.Pointer[watched]

	outer *outer

	// Of Run's goroutine; the first three by address family.
	failures    map[int]int
	priority    map[int]uint32
	made        map[int]map[uint32]bool // tables that hold copies, or are left from before
	strictNames []string
	lastError   string
	remarked    time.Time     // when packets were last seen to that they are marked again
	minRest     time.Duration // for tests

	mu      sync.Mutex
	tunnels []string
	loose   bool // the loose filter drops as well
	hints   []hint
	returns []returnPath  // the latest last
	strict  bool          // an underlay interface has strict reverse path filtering
	applied chan struct{} // closed, and replaced, after each reconciliation
}

// New checks the configuration. Nothing is changed before Run.
func New(c Config) (*Guard, error) {
	if c.FIBProtocol < 1 || c.FIBProtocol > 255 {
		return nil, fmt.Errorf("underlay: protocol %d: must be 1 to 255", c.FIBProtocol)
	}
	if c.FIBTable == 0 {
		c.FIBTable = unix.RT_TABLE_MAIN
	}
	if isOwnTable(uint32(c.FIBTable)) {
		return nil, fmt.Errorf("underlay: table %d is the guard's own: configure another one for learned routes", c.FIBTable)
	}
	if c.Heard == nil {
		c.Heard = func(uint16, []byte) {}
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	g := &Guard{
		fibTable: uint32(c.FIBTable),
		protocol: uint8(c.FIBProtocol),
		uid:      uint32(os.Geteuid()),
		log:      c.Logger,
		heard:    c.Heard,
		ready:    make(chan struct{}),
		kick:     make(chan struct{}, 1),
		applied:  make(chan struct{}),
		failures: make(map[int]int),
		priority: make(map[int]uint32),
		outer:    newOuter(),
		made:     make(map[int]map[uint32]bool),
		watched:  make(map[int]*atomic.Pointer[watched]),
	}
	for _, family := range families {
		g.made[family] = make(map[uint32]bool)
		g.watched[family] = new(atomic.Pointer[watched])
		g.watched[family].Store(&watched{})
	}
	return g, nil
}

// Ready is closed once the rules and the first copy are in place: transports
// may open sockets from then on.
func (g *Guard) Ready() <-chan struct{} { return g.ready }

// SetTunnels names all tunnel interfaces, replacing the names given before. A
// name needs no interface yet. Name a tunnel before routes lead into it.
func (g *Guard) SetTunnels(names []string) {
	names = slices.Clone(names)
	slices.Sort(names)
	g.mu.Lock()
	changed := !slices.Equal(g.tunnels, names)
	g.tunnels = names
	g.mu.Unlock()
	if changed {
		g.markDirty(dirtyRules)
	}
}

// SetUnreachable tells whether there are owned routes that lead nowhere. For what
// comes from an address in such a prefix the loose reverse path filter (2) finds no
// way back either, as it asks without the mark.
func (g *Guard) SetUnreachable(some bool) {
	g.mu.Lock()
	changed := g.loose != some
	g.loose = some
	g.mu.Unlock()
	if changed {
		g.markDirty(dirtyRules)
	}
}

// Control is like the function Control. It remembers where the socket is to be
// connected to, for Own, and, while an underlay interface has
// strict reverse path filtering, also lets the answers to this socket in. The
// returned function serves net.Dialer and net.ListenConfig alike, and may be
// used before Run.
func (g *Guard) Control(device string) func(network, address string, c syscall.RawConn) error {
	mark := Control(device)
	return func(network, address string, c syscall.RawConn) error {
		if err := mark(network, address, c); err != nil {
			return err
		}
		g.noteEnd(network, address, c)
		g.expectAnswers(network, address)
		return nil
	}
}

func (g *Guard) wake() {
	select {
	case g.kick <- struct{}{}:
	default:
	}
}
