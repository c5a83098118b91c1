package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// document is a report as people read it.
type document struct {
	title  string
	origin string // the command that wrote it
	facts  []string
	tables []table
	notes  string
}

// text is the facts and the tables for the terminal.
func (d document) text() string {
	var b strings.Builder
	for _, f := range d.facts {
		fmt.Fprintln(&b, f)
	}
	for _, t := range d.tables {
		fmt.Fprintf(&b, "\n%s\n%s", t.title, t.text())
	}
	return b.String()
}

func (d document) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# %s\n\nWritten by `%s`; do not edit.\n\n", d.title, d.origin)
	for _, f := range d.facts {
		fmt.Fprintf(&b, "- %s\n", f)
	}
	for _, t := range d.tables {
		fmt.Fprintf(&b, "\n## %s\n\n%s", t.title, t.markdown())
	}
	fmt.Fprintf(&b, "\n## How\n\n%s", d.notes)
	return b.String()
}

// write writes the document to PATH.md, and report as JSON to PATH.json.
func (d document) write(path string, report any) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	b, err := json.MarshalIndent(report, "", "  ")
	if err != nil {
		return fmt.Errorf("write the report: %w", err)
	}
	for suffix, content := range map[string]string{".md": d.markdown(), ".json": string(b) + "\n"} {
		if err := os.WriteFile(path+suffix, []byte(content), 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
	}
	fmt.Printf("\nwritten to %s.md and %s.json\n", path, path)
	return nil
}
