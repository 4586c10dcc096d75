// Package overlay keeps, shows and applies what guests have written to mounts of mode overlay.
//
// A run, or a named sandbox, has one directory for them:
//
//	overlays/
//	  lock                 held by whoever runs the sandbox
//	  <sandbox>/0/         a mount
//	    mount.json         where it is in the guest and on the host
//	    upper/             what the guest has written
//
// In the upper directory, files are whole, a whiteout stands for what the guest has removed, and an opaque directory hides the
// one below; both are said by the attribute of sdk/share. Everything in there but these attributes was made by the guest: it is
// walked through an os.Root and never followed out of it, and it reaches the host's directory only by Apply.
package overlay
