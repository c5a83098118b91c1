// Package fib makes the kernel's owned routes equal to the wanted ones.
package fib
