package view

// style colours text with SGR sequences (ECMA-48, section 8.3.117), or not at all.
type style struct{ colour bool }

func (s style) sgr(code, text string) string {
	if !s.colour || text == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

func (s style) bold(t string) string   { return s.sgr("1", t) }
func (s style) dim(t string) string    { return s.sgr("2", t) }
func (s style) good(t string) string   { return s.sgr("32", t) }
func (s style) bad(t string) string    { return s.sgr("31", t) }
func (s style) warn(t string) string   { return s.sgr("33", t) }
func (s style) accent(t string) string { return s.sgr("36", t) }
