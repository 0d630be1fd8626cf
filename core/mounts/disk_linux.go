package mounts

import (
	"encoding/binary"
	"errors"
	"io"
)

// The header of a qcow2 image (docs/interop/qcow2.txt of QEMU), big-endian.
const (
	qcow2Magic        = "QFI\xfb"
	qcow2Version      = 4  // uint32
	qcow2Backing      = 8  // uint64, where the name of a backing file is; 0 = none
	qcow2Crypt        = 32 // uint32
	qcow2Incompatible = 72 // uint64, of version 3
	qcow2HeaderBytes  = 104
	qcow2ExternalData = 1 << 2

	// sector is what the size of a raw disk is a multiple of, in bytes.
	sector = 512
)

// checkDisk refuses an image that is not of the given format, and one that leads to
// other files: nobody has given these to the sandbox.
func (s *Source) checkDisk() error {
	st, err := s.file.Stat()
	if err != nil {
		return s.Spec.cannotOpen(err)
	}
	header := make([]byte, qcow2HeaderBytes)
	n, err := s.file.ReadAt(header, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return s.Spec.cannotOpen(err)
	}
	looks := n >= len(qcow2Magic) && string(header[:4]) == qcow2Magic
	if !s.Spec.QCOW2 {
		if st.Size() == 0 || st.Size()%sector != 0 {
			return s.Spec.invalid("source %q is no raw disk: its size, %d, is not a multiple of %d bytes", s.Spec.Source, st.Size(), sector)
		}
		return nil
	}
	be := binary.BigEndian
	switch {
	case !looks || n < qcow2Incompatible:
		return s.Spec.invalid("source %q is not a qcow2 image", s.Spec.Source)
	case be.Uint32(header[qcow2Version:]) < 2 || be.Uint32(header[qcow2Version:]) > 3:
		return s.Spec.invalid("source %q: qcow2 of version %d; 2 and 3 can be mounted", s.Spec.Source, be.Uint32(header[qcow2Version:]))
	case be.Uint64(header[qcow2Backing:]) != 0:
		return s.Spec.invalid("source %q rests on another file, which would have to be shown too: make a whole image with  qemu-img convert", s.Spec.Source)
	case be.Uint32(header[qcow2Crypt:]) != 0:
		return s.Spec.invalid("source %q is encrypted", s.Spec.Source)
	case be.Uint32(header[qcow2Version:]) == 3 && be.Uint64(header[qcow2Incompatible:])&qcow2ExternalData != 0:
		return s.Spec.invalid("source %q keeps its data in another file: make a whole image with  qemu-img convert", s.Spec.Source)
	}
	return nil
}
