package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
)

// figure is one line of the results: our summary beside the peer's, or beside a
// fixed limit, or alone.
type figure struct {
	name     string
	unit     string
	ours     summary
	peer     *summary // nil: there is nothing to compare with
	peerName string   // what the peer ran, or "limit"
	goal     float64  // wanted ratio, 0 = none; at most, unless atLeast
	atLeast  bool
}

const peerIsLimit = "limit"

// against returns the figure beside a fixed limit.
func (f figure) against(limit float64) figure {
	f.peer, f.peerName, f.goal = &summary{median: limit}, peerIsLimit, 1
	return f
}

func (f figure) ratio() float64 {
	if f.peer == nil || f.peer.median == 0 {
		return 0
	}
	return f.ours.median / f.peer.median
}

func (f figure) noisy() bool {
	return f.ours.noisy() || f.peer != nil && f.peer.noisy()
}

func (f figure) verdict() string {
	word := ""
	switch {
	case f.goal == 0 || f.peer == nil:
	case f.ratio() <= f.goal != f.atLeast:
		word = "met"
	default:
		word = "MISSED"
	}
	if f.noisy() {
		word += " (noisy)"
	}
	return word
}

// jsonFigure is one object of bench.json; peer and ratio are null without a peer.
type jsonFigure struct {
	Name     string   `json:"name"`
	Ours     float64  `json:"ours"`
	Peer     *float64 `json:"peer"`
	PeerName string   `json:"peer_name"`
	Ratio    *float64 `json:"ratio"`
	Unit     string   `json:"unit"`
}

func writeJSON(path string, figures []figure) error {
	out := make([]jsonFigure, 0, len(figures))
	for _, f := range figures {
		j := jsonFigure{Name: f.name, Ours: f.ours.median, PeerName: f.peerName, Unit: f.unit}
		if f.peer != nil {
			ratio := f.ratio()
			j.Peer, j.Ratio = &f.peer.median, &ratio
		}
		out = append(out, j)
	}
	data, err := json.MarshalIndent(out, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(data, '\n'), 0o644)
}

// printTable writes a Markdown table, as bench/RESULTS.md has it.
func printTable(w io.Writer, figures []figure) {
	fmt.Fprintln(w, "| figure | unit | ours: median (min, q1, q3, max) | peer: median (min, q1, q3, max) | peer | ratio | goal | |")
	fmt.Fprintln(w, "|---|---|---|---|---|---|---|---|")
	for _, f := range figures {
		peer, ratio, goal := "", "", ""
		if f.peer != nil {
			peer, ratio = f.peer.text(), fmt.Sprintf("%.2f", f.ratio())
		}
		if f.goal != 0 {
			relation := "≤"
			if f.atLeast {
				relation = "≥"
			}
			goal = fmt.Sprintf("%s %s", relation, goalText(f.goal))
		}
		fmt.Fprintf(w, "| %s | %s | %s | %s | %s | %s | %s | %s |\n",
			f.name, f.unit, f.ours.text(), peer, f.peerName, ratio, goal, f.verdict())
	}
}

// goalText has two decimals only where one would not do.
func goalText(goal float64) string {
	if one := strconv.FormatFloat(goal, 'f', 1, 64); len(one) >= len(strconv.FormatFloat(goal, 'f', -1, 64)) {
		return one
	}
	return strconv.FormatFloat(goal, 'f', 2, 64)
}

// text leaves the spread out where there is none: limits and sizes.
func (s summary) text() string {
	if s.min == s.max {
		return number(s.median)
	}
	return fmt.Sprintf("**%s** (%s, %s, %s, %s)", number(s.median), number(s.min), number(s.q1), number(s.q3), number(s.max))
}

func number(v float64) string {
	if v < 100 && v != float64(int64(v)) {
		return fmt.Sprintf("%.1f", v)
	}
	return fmt.Sprintf("%.0f", v)
}
