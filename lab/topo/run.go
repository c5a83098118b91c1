package topo

import (
	"bytes"
	"context"
	"fmt"
	"os/exec"
	"strings"
	"time"
)

// outputDelay is how long a command whose context is done may keep its outputs
// open, through a child for instance, before they are taken from it.
const outputDelay = 2 * time.Second

// command runs argv with the given standard input and returns both outputs.
func command(ctx context.Context, stdin string, argv ...string) (string, error) {
	var out bytes.Buffer
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = outputDelay
	cmd.Stdout, cmd.Stderr = &out, &out
	if stdin != "" {
		cmd.Stdin = strings.NewReader(stdin)
	}
	err := cmd.Run()
	if err == nil {
		return out.String(), nil
	}
	if ctx.Err() != nil {
		err = ctx.Err() // "signal: killed" would not say why
	}
	text := strings.TrimSpace(out.String())
	if stdin != "" {
		text += "\ninput was:\n" + strings.TrimSpace(stdin)
	}
	return out.String(), fmt.Errorf("topo: %s: %w\n%s", strings.Join(argv, " "), err, text)
}
