package main

import (
	"fmt"
	"strconv"
	"time"

	emulator "warren/lab/path"
)

// carryPackets is a path between two TUN devices, which are down at first. The rest of the
// arguments is DELAY LOST RUN, LOST in per cent.
func carryPackets(a, b string, args []string) (err error) {
	var c emulator.Conditions
	if c.Delay, err = time.ParseDuration(args[0]); err != nil {
		return err
	}
	if c.Loss.Share, err = strconv.ParseFloat(args[1], 64); err != nil {
		return err
	}
	if c.Loss.Run, err = strconv.ParseFloat(args[2], 64); err != nil {
		return err
	}
	c.Loss.Share /= 100
	if err := c.Loss.Check(); err != nil {
		return err
	}
	p, err := emulator.Open(a, b, false)
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return p.Run(c)
}
