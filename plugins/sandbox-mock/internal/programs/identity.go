package programs

func whoami(p *Proc) int { p.print(p.Sys.Machine().User + "\n"); return 0 }

func id(p *Proc) int {
	o, ok := p.parse("ugnGr", nil)
	if !ok {
		return 1
	}
	m := p.Sys.Machine()
	switch {
	case o.has("ugG") && o.has("n"):
		p.print(m.User + "\n")
	case o.has("u"):
		p.printf("%d\n", m.UID)
	case o.has("gG"):
		p.printf("%d\n", m.GID)
	default:
		p.printf("uid=%d(%s) gid=%d(%s) groups=%d(%s)\n", m.UID, m.User, m.GID, m.User, m.GID, m.User)
	}
	return 0
}
