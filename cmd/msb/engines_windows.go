package main

func engineMain() {}

// engineCommands are what a person types about the engines: nothing is to be prepared.
var engineCommands map[string]func(args []string) int
