package agent

import (
	"fmt"
	"time"

	"warren/internal/config"
	"warren/internal/link"
)

// Warnings returns a line for each thing of a valid config that is probably wrong
// on this host: file:line: key: what and why.
func Warnings(cfg *config.Config) []string {
	host, err := thisHost()
	lines := make([]string, 0)
	if err != nil {
		lines = append(lines, fmt.Sprintf("%s: not compared with this host: %v", cfg.Path, err))
	}
	for _, w := range cfg.Warnings(host, time.Now()) {
		lines = append(lines, w.Error())
	}
	return lines
}

// Host is this machine as warnings see it.
func Host() (config.Host, error) { return thisHost() }

func thisHost() (host config.Host, err error) {
	all, err := link.Inventory()
	for _, i := range all {
		host.Interfaces = append(host.Interfaces, config.HostInterface{
			Name: i.Name, Tunnel: isOurs(i.Name, i.Alias), Loopback: i.Loopback, Addresses: i.Addresses,
		})
	}
	return host, err
}

// warn logs what is probably wrong with a config that is used from now on.
func (a *Agent) warn(cfg *config.Config) {
	for _, line := range Warnings(cfg) {
		a.log.Warn("the configuration is probably wrong", "warning", line)
	}
}
