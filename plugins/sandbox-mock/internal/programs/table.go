package programs

import (
	"crypto/md5"
	"crypto/sha256"
)

// Table holds every program by its name.
var Table = map[string]func(*Proc) int{
	"cat": cat, "head": head, "tail": tail, "wc": wc, "sort": sortLines, "uniq": uniq, "cut": cut, "tr": tr, "tee": tee,
	"seq": seq, "yes": yes, "tac": tac, "rev": rev, "nl": nl, "grep": grep, "egrep": grep, "fgrep": grep, "sed": sed, "diff": diff,

	"ls": ls, "cp": cp, "mv": mv, "rm": rm, "mkdir": mkdir, "rmdir": rmdir, "touch": touch, "ln": ln, "chmod": chmod, "chown": chown, "chgrp": chgrp,
	"readlink": readlink, "realpath": realpath, "stat": stat, "du": du, "mktemp": mktemp, "mkfifo": mkfifo, "dd": dd,
	"find": find, "truncate": truncate, "sync": func(*Proc) int { return 0 },

	"true": func(*Proc) int { return 0 }, "false": func(*Proc) int { return 1 },
	"echo": echo, "printf": printf, "env": env, "printenv": printenv, "date": date, "sleep": sleep, "timeout": timeout,
	"whoami": whoami, "id": id, "uname": uname, "hostname": hostname, "pwd": pwd, "which": which, "ps": ps, "kill": kill,
	"tty": tty, "basename": basename, "dirname": dirname, "xargs": xargs, "nohup": nohup, "nproc": nproc,
	"base64": base64Program, "sha256sum": sum(sha256.New), "md5sum": sum(md5.New), "test": testProgram, "[": testProgram,
	"expr": expr, "umask": func(p *Proc) int { p.print("0022\n"); return 0 }, "clear": func(*Proc) int { return 0 },

	"claude-stand-in": claudeStandIn,
}
