// Package winsys is what the Windows sides of several packages share: names of
// processes that outlive their ids, the security descriptor of what belongs to one
// user, and job objects.
package winsys
