package boot

// notePVH is XEN_ELFNOTE_PHYS32_ENTRY of xen/interface/elfnote.h: the 32-bit physical address of the PVH entry.
const notePVH = 18

// maxNotes bounds what is read of a note segment; a kernel's has some hundred bytes.
const maxNotes = 64 << 10

// pvhEntry looks for the note.
func (p program) pvhEntry(f *file) (entry uint64, found bool, err error) {
	for _, s := range p.notes {
		if need := sum(s.offset, s.fileSize); need > uint64(f.size) {
			return 0, false, truncated(f.size, need)
		}
		notes := make([]byte, min(s.fileSize, maxNotes))
		if err := f.readAt(notes, int64(s.offset)); err != nil {
			return 0, false, err
		}
		if entry, found := findPVH(notes); found {
			return entry, true, nil
		}
	}
	return 0, false, nil
}

// findPVH goes through notes, each of a header of three words, a name and a descriptor, both padded to words.
func findPVH(notes []byte) (entry uint64, found bool) {
	const header = 12
	padded := func(n uint32) uint64 { return (uint64(n) + 3) &^ 3 }
	for len(notes) >= header {
		name, descriptor, kind := le.Uint32(notes), le.Uint32(notes[4:]), le.Uint32(notes[8:])
		body := notes[header:]
		next := padded(name) + padded(descriptor)
		if next > uint64(len(body)) {
			return 0, false
		}
		if kind == notePVH && string(body[:name]) == "Xen\x00" {
			switch value := body[padded(name):]; descriptor {
			case 4:
				return uint64(le.Uint32(value)), true
			case 8:
				return le.Uint64(value), true
			}
		}
		notes = body[next:]
	}
	return 0, false
}
