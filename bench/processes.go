package main

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// ticksPerSecond is USER_HZ, the unit of times in /proc; it is 100 everywhere.
const ticksPerSecond = 100

// stat returns the fields of /proc/PID/stat from the third on, the state.
func stat(pid int) ([]string, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return nil, err
	}
	// The name before them, in brackets, may hold anything.
	_, after, found := strings.Cut(string(data[strings.LastIndexByte(string(data), ')')+1:]), " ")
	fields := strings.Fields(after)
	if !found || len(fields) < 13 {
		return nil, fmt.Errorf("/proc/%d/stat: %q", pid, data)
	}
	return fields, nil
}

// descendants returns a process and all below it, parents first.
func descendants(root int) ([]int, error) {
	paths, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, err
	}
	children := map[int][]int{}
	for _, path := range paths {
		pid, err := strconv.Atoi(filepath.Base(path))
		if err != nil {
			continue
		}
		fields, err := stat(pid)
		if err != nil {
			continue // it ended meanwhile
		}
		parent, err := strconv.Atoi(fields[1])
		if err != nil {
			return nil, err
		}
		children[parent] = append(children[parent], pid)
	}
	all := []int{root}
	for i := 0; i < len(all); i++ {
		all = append(all, children[all[i]]...)
	}
	return all, nil
}

// processorTime is what the processes used so far, in seconds: of all threads that
// live, in nanoseconds of the scheduler, where the kernel counts those.
func processorTime(pids []int) (float64, error) {
	var seconds float64
	for _, pid := range pids {
		exact, err := scheduled(pid)
		if err != nil {
			fields, serr := stat(pid)
			if serr != nil {
				return 0, serr
			}
			if exact, err = ticks(fields[11:13]); err != nil { // utime, stime
				return 0, err
			}
		}
		seconds += exact
	}
	return seconds, nil
}

func scheduled(pid int) (seconds float64, err error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
	if err == nil && len(threads) == 0 {
		err = os.ErrNotExist
	}
	for _, thread := range threads {
		data, rerr := os.ReadFile(thread)
		if rerr != nil {
			continue // it ended meanwhile
		}
		var nanoseconds float64
		if _, err := fmt.Sscan(string(data), &nanoseconds); err != nil {
			return 0, err
		}
		seconds += nanoseconds / 1e9
	}
	return seconds, err
}

func ticks(fields []string) (seconds float64, err error) {
	for _, field := range fields {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0, err
		}
		seconds += n / ticksPerSecond
	}
	return seconds, nil
}

// memory returns the resident and the proportional set sizes in bytes: in the
// second, a page that n processes share counts 1/n in each.
func memory(pids []int) (resident, proportional float64, err error) {
	for _, pid := range pids {
		file, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
		if err != nil {
			return 0, 0, err
		}
		for lines := bufio.NewScanner(file); lines.Scan(); {
			var kibibytes float64
			if n, _ := fmt.Sscanf(lines.Text(), "Rss: %f kB", &kibibytes); n == 1 {
				resident += kibibytes * 1024
			} else if n, _ := fmt.Sscanf(lines.Text(), "Pss: %f kB", &kibibytes); n == 1 {
				proportional += kibibytes * 1024
			}
		}
		file.Close()
	}
	return resident, proportional, nil
}
