// Package manual writes Warren's manual in the form that man(1) reads: a page for each command,
// and warren.toml(5).
//
//  1. Commands takes the tree of commands, as `warren --help` shows it, and makes a page of each:
//     what it says of itself, its flags, and what all commands have in common.
//  2. Config takes the files of configs/reference, and makes one page of them: each key with the
//     value that it has there, and what its comment says.
//  3. Page.Roff renders a page, by go-md2man.
//
// So nothing is written twice, and a page cannot say anything else than the program and the
// reference. What has no description is an error. The package is linked into no program that is
// shipped: cmd/warren has it with the build tag manual only.
package manual
