// Go would look for its control group's limit of processors at each start, and read it each
// time that an idle supervisor wakes up.
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command msb runs programs in sandboxes from a shell. It is also what the
// library starts for each sandbox: the supervisor, and the engine's processes.
package main

import (
	"fmt"
	"io"
	"os"

	_ "github.com/libmicrosandbox/microsandbox/cmd/msb/supervise" // is all of a supervisor
)

// Exit codes of msb itself, as env(1) and container tools have them; any other
// is the program's.
const (
	exitUsage       = 2
	exitTimeout     = 124
	exitFailed      = 125
	exitCannotExec  = 126
	exitNoSuchFile  = 127
	exitSignalFirst = 128 // plus the signal that ended the program
)

func main() {
	engineMain() // does not return in a process of an engine
	os.Exit(dispatch(os.Args[1:]))
}

func dispatch(args []string) int {
	if len(args) == 0 {
		usage(os.Stderr)
		return exitUsage
	}
	command, rest := args[0], args[1:]
	switch command {
	case "help", "--help", "-h":
		usage(os.Stdout)
		return 0
	case "--version":
		command = "version"
	}
	run, ok := commands[command]
	if !ok {
		run, ok = engineCommands[command]
	}
	if !ok {
		fmt.Fprintf(os.Stderr, "msb: unknown command %q: see msb help\n", command)
		return exitUsage
	}
	return run(rest)
}

// commands are what a person types.
var commands = map[string]func(args []string) int{
	"run": runCommand, "exec": execCommand, "start": startCommand,
	"ls": listCommand, "metrics": metricsCommand, "top": topCommand, "wait": waitCommand, "audit": auditCommand, "logs": logsCommand,
	"kill": killCommand, "stop": stopCommand, "drain": drainCommand, "detach": detachCommand, "rm": removeCommand,
	"version": versionCommand,
}

func usage(w io.Writer) {
	fmt.Fprint(w, `msb runs programs in sandboxes.

  msb run [OPTIONS] [--] [CMD [ARG...]]   create a sandbox, run CMD (/bin/sh) in it, remove it
  msb exec [OPTIONS] NAME [--] CMD [ARG...]
                                          run CMD in a living sandbox
  msb start NAME                          start a stored sandbox again, detached
  msb ls [-a] [--pool] [--label NAME=VALUE]
                                          list the living sandboxes; -a: stored ones too,
                                          --pool: those that wait in a pool, too
  msb stop [--grace TIME] NAME...         TERM to the programs, grace, KILL
  msb drain [--deadline TIME] NAME...     no new programs; end after the last
  msb kill [-s SIGNAL] NAME...            kill at once; TERM stops, USR1 drains
  msb wait NAME                           wait until it has ended
  msb detach NAME...                      let it live on without its owner
  msb rm [-f] NAME...                     forget stored sandboxes; -f: end them first
  msb metrics                             what the living sandboxes use, as OpenMetrics text
  msb top [--interval TIME] [-n COUNT]    the same, live, for a person
  msb logs [-f] [-t] [--tail N] [--since TIME] [--source SOURCE] [--program N] NAME
                                          what it and its programs with --log have said;
                                          -f: until it ends; -t: with time, source, program;
                                          TIME: 10m ago or 2006-01-02T15:04:05Z;
                                          SOURCE: stdout, stderr or supervisor, may be given again
  msb audit                               list all that exists in the state directory
  msb doctor [--kernel PATH]              which engines work here, and what the others lack
  msb kernel install [--from FILE | --package NAME] [--modules DIR] [--system | --dir DIR]
                                          prepare the kernel of microVMs: a vmlinuz, a vmlinux or
                                          a .deb; default: the newest in /boot, else Debian's
                                          linux-image-cloud-amd64, downloaded and not installed
  msb kernel ls [--dir DIR]               list the prepared kernels; * is booted when none is named
  msb version

Options of run:
  --name NAME          default: generated
  --root KIND[:PATH]   host (default), dir:PATH or erofs:PATH
  --mount KIND:SOURCE:TARGET[:OPTIONS] or tmpfs:TARGET[:OPTIONS]
                       KIND: bind (a directory or file of the host), erofs (an image), disk (an
                       image with ext4; microVMs only); tmpfs is an empty one in memory;
                       OPTIONS: ro,noexec,nosuid,nodev,size=64M,qcow2; may be given again
  --engine NAME        auto (default), gvisor, qemu (a microVM with KVM), qemu-tcg (without, slow) or
                       job (Windows: limits and no wall)
  --kernel PATH        kernel of a microVM: see msb kernel install
  --memory SIZE        limit, such as 512M or 2G
  --overlay SIZE       limit of changes to the root
  --detach             go on in the background; prints the name; CMD is optional
  --store              keep the configuration under the name
  --replace            end and forget a sandbox that has the name
  --label NAME=VALUE   may be given again
  --idle TIME          end when no program has run for that long, such as 90s or 10m
  --max TIME           end after that long
  --cpus NUMBER        processors, such as 0.5; needs a control group that may be written
  --cpu-weight NUMBER  1 to 10000, relative to others, which have 100; needs the same
  --cpu-time TIME      end once all programs together have used so much processor time
  --max-processes NUMBER
                       and threads at once; one for each 2 MiB of --memory
  --max-open-files NUMBER
                       of each process, 4096
  --sample TIME        interval of metrics, 1s; 0 turns them off
  --log-max SIZE       of each of the log's up to four files, 10M
Options of run and exec:
  --env NAME=VALUE     may be given again
  --clear-env          no default PATH, HOME and LANG
  --cwd DIR            working directory in the sandbox
  --log                output goes to the sandbox's log: see msb logs
  --user UID[:GID]     default: 0:0; GID as UID when not given
  --umask MODE         default: 022
  --ulimit NAME=SOFT[:HARD]
                       cpu (seconds), fsize, data, stack, core, rss, memlock, as (bytes), nproc
                       or nofile; numbers or "unlimited"; may be given again
  --output-max SIZE    kill it when it has written more to stdout and stderr
  -t                   CMD gets a terminal, which this one shows; standard input must be one
  -i                   pass standard input on, as is done anyway: for -it
  --timeout TIME       kill CMD and all that it started after that long
Options of all:
  --state DIR          state directory, else $MSB_HOME, else the user's own

Exit status: the program's, 128 + the signal that ended it, 127 no such program,
126 it cannot be executed, 125 the sandbox failed or ended, by --memory or --cpu-time too,
124 --timeout. Each limit that was met is told on standard error.
`)
}
