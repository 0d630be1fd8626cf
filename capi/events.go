package main

// The events of msb_fd, as in the header.
const (
	eventReady = 1
	eventDone  = 2
)
