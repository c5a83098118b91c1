package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"warren/internal/peerfile"
)

// interrupted returns the error of a command whose ctx has ended before it did anything; nil: it has not.
func interrupted(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return errors.New("interrupted: nothing was done")
}

// await returns what read returns, or an error as soon as ctx ends: a read from a terminal or a pipe does not look at
// that. Then the read goes on, and what it reads from is of no use any more.
func await[T any](ctx context.Context, read func() (T, error)) (T, error) {
	type result struct {
		value T
		err   error
	}
	done := make(chan result, 1)
	go func() {
		v, err := read()
		done <- result{v, err}
	}()
	select {
	case r := <-done:
		return r.value, r.err
	case <-ctx.Done():
		var none T
		return none, interrupted(ctx)
	}
}

// confirm asks, unless the answer is given already. Without an answer it is no.
func confirm(ctx context.Context, w io.Writer, in *bufio.Reader, yes bool, question string) error {
	if yes {
		return nil
	}
	fmt.Fprint(w, question, " [y/N] ")
	answer, err := await(ctx, func() (string, error) { return in.ReadString('\n') })
	if ctx.Err() != nil {
		fmt.Fprintln(w)
		return interrupted(ctx)
	}
	if err != nil && answer == "" {
		fmt.Fprintln(w)
		return errors.New("nobody has answered, so that nothing was done: say --yes where nobody can")
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errors.New("nothing was done")
}

// carryOut does what a plan says, unless the command was interrupted before.
func carryOut(ctx context.Context, plan *peerfile.Plan) error {
	if err := interrupted(ctx); err != nil {
		return err
	}
	return plan.Do()
}
