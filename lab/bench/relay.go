package main

import (
	"fmt"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"warren/lab/path"
)

// relayMain is this program as a wire with a delay: "relay DELAY LOST RUN". It makes two
// TAP devices in its namespace and hands what is sent into one to the other, DELAY
// later, until it is killed. LOST and RUN are as in path.Loss.
func relayMain(args []string) error {
	if len(args) != 4 {
		return fmt.Errorf("relay is for the bench's own use")
	}
	var c path.Conditions
	var err error
	if c.Delay, err = time.ParseDuration(args[1]); err != nil {
		return err
	}
	for i, into := range []*float64{&c.Loss.Share, &c.Loss.Run} {
		if *into, err = strconv.ParseFloat(args[2+i], 64); err != nil {
			return err
		}
	}
	p, err := path.Open(relayPortA, relayPortB, true)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return p.Run(c)
}

// openTUN makes a TUN device and returns its descriptor, which does not block.
func openTUN(name string) (int, error) {
	return path.OpenDevice(name, unix.IFF_TUN, unix.O_NONBLOCK)
}
