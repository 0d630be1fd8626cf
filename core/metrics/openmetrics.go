package metrics

import (
	"bufio"
	"io"
	"strconv"
	"strings"
)

// ContentType is the media type of what WriteOpenMetrics writes.
const ContentType = "application/openmetrics-text; version=1.0.0; charset=utf-8"

// family is one metric of all sandboxes.
type family struct {
	name, kind, unit, help string
	value                  func(e *Entry) (string, bool)
}

func count(field Fields, of func(s *Sample) uint64) func(*Entry) (string, bool) {
	return func(e *Entry) (string, bool) {
		return strconv.FormatUint(of(&e.Sample), 10), e.HasSample && e.Sample.Has(field)
	}
}

func scaled(field Fields, of func(s *Sample) float64) func(*Entry) (string, bool) {
	return func(e *Entry) (string, bool) {
		return strconv.FormatFloat(of(&e.Sample), 'f', -1, 64), e.HasSample && e.Sample.Has(field)
	}
}

func limit(of func(l Limits) uint64) func(*Entry) (string, bool) {
	return func(e *Entry) (string, bool) { return strconv.FormatUint(of(e.Limits), 10), of(e.Limits) > 0 }
}

var families = []family{
	{"microsandbox_cpu_seconds", "counter", "seconds", "CPU time used, over all CPUs.",
		scaled(HasCPUTime, func(s *Sample) float64 { return s.CPUTime.Seconds() })},
	{"microsandbox_cpu_usage_ratio", "gauge", "ratio", "CPUs in use at the last sample; 1 is one whole CPU.",
		scaled(HasCPUPermille, func(s *Sample) float64 { return float64(s.CPUPermille) / 1000 })},
	{"microsandbox_memory_used_bytes", "gauge", "bytes", "Memory in use.",
		count(HasMemoryUsed, func(s *Sample) uint64 { return s.MemoryUsedBytes })},
	{"microsandbox_memory_peak_bytes", "gauge", "bytes", "Most memory in use so far.",
		count(HasMemoryPeak, func(s *Sample) uint64 { return s.MemoryPeakBytes })},
	{"microsandbox_memory_limit_bytes", "gauge", "bytes", "Memory that the sandbox may use.",
		limit(func(l Limits) uint64 { return l.MemoryBytes })},
	{"microsandbox_overlay_used_bytes", "gauge", "bytes", "Space that the sandbox's changes of its root take.",
		count(HasOverlayUsed, func(s *Sample) uint64 { return s.OverlayUsedBytes })},
	{"microsandbox_overlay_limit_bytes", "gauge", "bytes", "Space that the sandbox's changes of its root may take.",
		limit(func(l Limits) uint64 { return l.OverlayBytes })},
	{"microsandbox_disk_read_bytes", "counter", "bytes", "Read from disks.",
		count(HasDiskRead, func(s *Sample) uint64 { return s.DiskReadBytes })},
	{"microsandbox_disk_written_bytes", "counter", "bytes", "Written to disks.",
		count(HasDiskWritten, func(s *Sample) uint64 { return s.DiskWrittenBytes })},
	{"microsandbox_network_received_bytes", "counter", "bytes", "Received from the network.",
		count(HasNetworkReceived, func(s *Sample) uint64 { return s.NetworkReceivedBytes })},
	{"microsandbox_network_sent_bytes", "counter", "bytes", "Sent to the network.",
		count(HasNetworkSent, func(s *Sample) uint64 { return s.NetworkSentBytes })},
	{"microsandbox_programs", "gauge", "", "Programs running.",
		count(HasPrograms, func(s *Sample) uint64 { return s.Programs })},
	{"microsandbox_uptime_seconds", "gauge", "seconds", "Time since the sandbox started.",
		scaled(HasUptime, func(s *Sample) float64 { return s.Uptime.Seconds() })},
	{"microsandbox_sampled_timestamp_seconds", "gauge", "seconds", "When the last sample was taken.",
		scaled(0, func(s *Sample) float64 { return float64(s.SampledAt.UnixMilli()) / 1000 })},
}

// WriteOpenMetrics writes entries as OpenMetrics text, version 1.0. Values that
// are not known are left out. Each line carries the sandbox's name and id; of two
// entries with the same ones the first counts.
func WriteOpenMetrics(w io.Writer, entries []Entry) error {
	type line struct {
		labels string
		entry  *Entry
	}
	var lines []line
	seen := map[string]bool{}
	for i := range entries {
		e := &entries[i]
		labels := `{sandbox="` + escape(e.Name) + `",id="` + escape(e.ID) + `"} `
		if !seen[labels] {
			seen[labels] = true
			lines = append(lines, line{labels, e})
		}
	}
	out := bufio.NewWriter(w)
	for _, f := range families {
		out.WriteString("# TYPE " + f.name + " " + f.kind + "\n")
		if f.unit != "" {
			out.WriteString("# UNIT " + f.name + " " + f.unit + "\n")
		}
		out.WriteString("# HELP " + f.name + " " + f.help + "\n")
		name := f.name
		if f.kind == "counter" {
			name += "_total"
		}
		for _, l := range lines {
			if value, known := f.value(l.entry); known {
				out.WriteString(name + l.labels + value + "\n")
			}
		}
	}
	out.WriteString("# EOF\n")
	return out.Flush()
}

var escaper = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

func escape(s string) string { return escaper.Replace(strings.ToValidUTF8(s, "\uFFFD")) }
