package engine

import "warren/bgp"

// What this package shares with its users is in package bgp.
type (
	// Filter is bgp.Filter.
	Filter = bgp.Filter
	// Looped is bgp.Looped.
	Looped = bgp.Looped
	// Malformed is bgp.Malformed.
	Malformed = bgp.Malformed
	// Neighbor is bgp.Neighbor.
	Neighbor = bgp.Neighbor
	// NeighborStatus is bgp.NeighborStatus.
	NeighborStatus = bgp.NeighborStatus
	// Policy is bgp.Policy.
	Policy = bgp.Policy
	// Protected is bgp.Protected.
	Protected = bgp.Protected
	// Reason is bgp.Reason.
	Reason = bgp.Reason
	// Route is bgp.Route.
	Route = bgp.Route
	// Way is bgp.Way.
	Way = bgp.Way
	// Wanted is bgp.Wanted.
	Wanted = bgp.Wanted
)
