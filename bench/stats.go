package main

import "slices"

// summary describes the measurements of one side of a figure.
type summary struct {
	min, q1, median, q3, max float64
}

// noisySpread is the interquartile spread, as a part of the median, above which
// a median says more about the machine than about the program.
const noisySpread = 0.30

func summarise(values []float64) summary {
	v := slices.Sorted(slices.Values(values))
	return summary{
		min: v[0], q1: quantile(v, 0.25), median: quantile(v, 0.5), q3: quantile(v, 0.75), max: v[len(v)-1],
	}
}

// quantile interpolates between the neighbours in a sorted, non-empty slice.
func quantile(sorted []float64, q float64) float64 {
	at := q * float64(len(sorted)-1)
	low := int(at)
	if low == len(sorted)-1 {
		return sorted[low]
	}
	return sorted[low] + (at-float64(low))*(sorted[low+1]-sorted[low])
}

// spread is the interquartile range as a part of the median.
func (s summary) spread() float64 {
	if s.median == 0 {
		return 0
	}
	return (s.q3 - s.q1) / s.median
}

func (s summary) noisy() bool { return s.spread() > noisySpread }
