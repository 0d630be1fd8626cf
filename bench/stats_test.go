package main

import (
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestSummaryOfUnsortedValues(t *testing.T) {
	got := summarise([]float64{5, 1, 4, 2, 3})
	assert.Equal(t, summary{min: 1, q1: 2, median: 3, q3: 4, max: 5}, got)
}

func TestQuantilesLieBetweenNeighbours(t *testing.T) {
	got := summarise([]float64{10, 20})
	assert.Equal(t, summary{min: 10, q1: 12.5, median: 15, q3: 17.5, max: 20}, got)
	assert.Equal(t, summary{min: 7, q1: 7, median: 7, q3: 7, max: 7}, summarise([]float64{7}))
}

func TestOutlierAloneIsNotNoise(t *testing.T) {
	assert.False(t, summarise([]float64{10, 10, 10, 11, 11, 90}).noisy())
	assert.True(t, summarise([]float64{10, 10, 11, 15, 18, 90}).noisy())
}
