// Package socket has the sockets at which local clients ask the daemon: listening there,
// and bounding how many clients there are.
//
// How a unix socket comes to be ([ListenUnix]):
//
//  1. its directory is made if it is missing, and refused if others can write to it;
//  2. a lock beside the socket, which the kernel releases when its process ends, keeps a
//     second daemon away; it is not followed if it is a link, nor taken from another user;
//  3. a socket that a killed process left is removed, one at which a process answers is not;
//  4. the new one has its mode before anybody can connect.
//
// How clients are bounded ([Limit]): each connection counts for the user at its other end. When
// there are too many, one of the user's goes that has the most, the one that nothing moved
// through for the longest time; root's and the daemon's own make room for nobody else's.
package socket
