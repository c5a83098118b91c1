// Package peerfile changes the files of a configuration as an operator with an editor does.
//
//  1. [Removal] says what has to be done so that a peer is gone; packages that add a peer make a [Plan]
//     themselves.
//  2. [Plan.Check] has package config say what is wrong with the configuration as it will be, before anything
//     is written.
//  3. [Plan.Do] does it, unless a file that was looked at for it is another by then, as when an operator is asked before.
//     Files that are made are on the disk when it returns, and none that exists is
//     overwritten; if one cannot be made, those before it are taken away again.
//
// A running daemon knows nothing of it until it is told to reload.
package peerfile
