// Package docs tests what the documentation shows and says.
package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

const root = "../.."

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	require.NoError(t, err)
	return string(text)
}

// The programs of the README are the files of examples/, which other tests run.
func TestReadmeShowsTheExamples(t *testing.T) {
	readme := read(t, "README.md")
	for lang, file := range map[string]string{
		"c": "examples/c/hello.c", "python": "examples/python/hello.py", "js": "examples/node/hello.mjs",
	} {
		assert.Contains(t, readme, "```"+lang+"\n"+read(t, file)+"```", "%s is not what README.md shows", file)
	}
}

func TestLinksLeadSomewhere(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#:]+)(#[^)]*)?\)`)
	pages, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	require.NoError(t, err)
	pages = append(pages, filepath.Join(root, "README.md"))
	found := 0
	for _, page := range pages {
		text, err := os.ReadFile(page)
		require.NoError(t, err)
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			found++
			target := filepath.Join(filepath.Dir(page), m[1])
			_, err := os.Stat(target)
			assert.NoError(t, err, "%s links to %s", page, m[1])
		}
	}
	assert.Greater(t, found, 5)
}

// A page that the README does not name is not found.
func TestEachPageIsInTheReadme(t *testing.T) {
	pages, err := filepath.Glob(filepath.Join(root, "docs/*.md"))
	require.NoError(t, err)
	require.NotEmpty(t, pages)
	readme := read(t, "README.md")
	for _, page := range pages {
		assert.Contains(t, readme, "(docs/"+filepath.Base(page)+")")
	}
}

// What a newcomer types first is in the README and is a target.
func TestTargetsOfTheReadmeExist(t *testing.T) {
	makefile := read(t, "Makefile")
	for _, target := range regexp.MustCompile("make ([a-z]+)").FindAllStringSubmatch(read(t, "README.md"), -1) {
		assert.True(t, strings.Contains(makefile, "\n"+target[1]+":"), "make %s", target[1])
	}
}

// What is vetted for macOS is what docs/platforms.md says.
func TestPortablePackagesAreListed(t *testing.T) {
	list := regexp.MustCompile(`PORTABLE="([^"]+)"`).FindStringSubmatch(read(t, "tools/run-tests"))
	require.NotNil(t, list)
	page := strings.Join(strings.Fields(read(t, "docs/platforms.md")), " ")
	assert.Contains(t, page, strings.ReplaceAll(list[1], " ", ", "))
}
