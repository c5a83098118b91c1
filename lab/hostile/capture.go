package main

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// capture writes the frames that pass an interface, from whichever direction, to a
// file, one after the other and as they are, until SIGTERM. The file appears when
// nothing is missed any more. Unlike tcpdump's, its process stays the user that it is:
// in a user namespace there may be no other.
func capture(ifname, file string) error {
	fd, err := listenPacket(ifname)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	out, err := os.OpenFile(file, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	frame := make([]byte, 1<<17)
	for stop := stopped(); stop.Err() == nil; {
		n, _, err := unix.Recvfrom(fd, frame, 0)
		if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
			continue // it wakes now and then to see whether it is to stop
		}
		if err != nil {
			return fmt.Errorf("receive on %s: %w", ifname, err)
		}
		if n < vnetLen {
			continue
		}
		if _, err := out.Write(frame[vnetLen:n]); err != nil {
			return err
		}
	}
	return out.Close()
}
