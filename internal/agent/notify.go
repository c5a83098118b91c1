package agent

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"
)

// What systemd is told; see sd_notify(3).
const (
	notifyReady    = daemon.SdNotifyReady
	notifyStopping = daemon.SdNotifyStopping
	notifyAlive    = daemon.SdNotifyWatchdog
)

// notifyReloading is the message of Type=notify-reload, which wants the time
// of CLOCK_MONOTONIC with it, to tell this reload's READY from an earlier one.
func notifyReloading() string {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return daemon.SdNotifyReloading
	}
	return fmt.Sprintf("%s\nMONOTONIC_USEC=%d", daemon.SdNotifyReloading, now.Nano()/1000)
}

// notify tells systemd, if it is there.
func notify(log *slog.Logger, state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		log.Warn("cannot notify systemd", "err", err)
	}
}

// watchdog returns when the loop is to tell systemd that it still takes turns: three times as
// often as systemd wants to hear it (WatchdogSec= in the unit), and never if it does not. systemd
// ends a daemon that keeps silent, with a signal at which Go writes what each goroutine waits for,
// and starts it again.
func watchdog(log *slog.Logger) (due <-chan time.Time, stop func()) {
	within, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("cannot tell how often systemd wants to hear of this daemon", "err", err)
	}
	if err != nil || within < minWatchdog {
		return nil, func() {}
	}
	t := time.NewTicker(within / 3)
	return t.C, t.Stop
}

// minWatchdog is what a ticker can still do something with; systemd's own unit is a microsecond.
const minWatchdog = time.Millisecond
