//go:build linux

package posix

import (
	"slices"
	"strings"
)

// who says for whom a case is.
type who int

const (
	anybody who = iota
	root        // needs to be root
	user        // must not be root
)

// Case is one question.
type Case struct {
	Name string
	tree string // what is there beforehand, see plant
	who  who
	run  func(*T)
}

// area collects the cases of one subject.
type area struct{ cases []Case }

func (a *area) test(name, tree string, run func(*T)) { a.add(anybody, name, tree, run) }
func (a *area) root(name, tree string, run func(*T)) { a.add(root, name, tree, run) }
func (a *area) user(name, tree string, run func(*T)) { a.add(user, name, tree, run) }

func (a *area) add(w who, name, tree string, run func(*T)) {
	a.cases = append(a.cases, Case{Name: name, tree: tree, who: w, run: run})
}

// Cases returns all cases, in the order of their names, which makes their numbers.
func Cases() []Case {
	var a area
	for _, add := range []func(*area){
		pathCases, nameCases, openCases, nodeCases, ioCases, offsetCases, sparseCases, truncateCases, renameCases, renameErrorCases,
		linkCases, symlinkCases, unlinkCases, dirCases, listCases, modeCases, ownerCases, accessCases, timeCases, statCases, xattrCases,
		lockCases, mmapCases, copyCases, specialCases, notifyCases, atCases, raceCases,
	} {
		add(&a)
	}
	slices.SortFunc(a.cases, func(x, y Case) int { return strings.Compare(x.Name, y.Name) })
	return a.cases
}
