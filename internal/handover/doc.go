// Package handover replaces the program of this process by another one, which goes on with what this
// one has open.
//
//  1. The next program is asked, in a process of its own, whether it takes over ([Try]). Nothing was
//     given up by then.
//  2. What it has to know is written into a memory file, which no disk ever has and nothing can
//     change ([Exec]).
//  3. The descriptors that it is to have, and that of the memory file, lose their close-on-exec flag. The
//     number of the latter is in the environment.
//  4. execve(2) replaces the program. The process keeps its number, so that for systemd it is the
//     same; all threads, all other descriptors and the memory are gone.
//  5. The next program reads the file and gives the descriptors the flag back ([Take], [Keep]).
//
// If execve fails all is as it was, and Exec returns.
package handover
