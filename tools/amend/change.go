package main

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"os"
	"path/filepath"
	"strings"
)

// A change is one place of a module and what is to stand there.
type change struct {
	// pkg is the directory of the package in the module.
	pkg string
	// decl is the constant ("name"), function ("name") or method ("Type.name")
	// in which the place is.
	decl string
	// was is an expression, as gofmt writes it on one line. It must occur in
	// decl exactly once.
	was string
	// becomes takes the place of was. If it is empty, was is a function, and
	// the statement that calls it goes.
	becomes string
}

func (c change) String() string { return fmt.Sprintf("the change of %s, %s", c.pkg, c.decl) }

// make makes the change in the module at dir.
func (c change) make(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, c.pkg, "*.go"))
	if err != nil {
		return err
	}
	decls := 0
	var edit func() error
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, name, src, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, d := range declarations(file, c.decl) {
			decls++
			from, to, err := c.find(set, d)
			if err != nil {
				return err
			}
			edit = func() error { return c.write(name, src, from, to) }
		}
	}
	if decls != 1 {
		return fmt.Errorf("%s is declared %d times, not once", c.decl, decls)
	}
	return edit()
}

// find returns where in the file the place begins and ends, in bytes.
func (c change) find(set *token.FileSet, decl ast.Node) (from, to int, err error) {
	var found []ast.Node
	ast.Inspect(decl, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.ExprStmt:
			if call, ok := n.X.(*ast.CallExpr); ok && c.becomes == "" && text(call.Fun) == c.was {
				found = append(found, n)
			}
		case ast.Expr:
			if c.becomes != "" && text(n) == c.was {
				found = append(found, n)
			}
		}
		return true
	})
	if len(found) != 1 {
		return 0, 0, fmt.Errorf("%s occurs %d times, not once", c.was, len(found))
	}
	return set.Position(found[0].Pos()).Offset, set.Position(found[0].End()).Offset, nil
}

// write replaces the place, and keeps the number of lines, so that a stack
// trace names those of the release.
func (c change) write(name string, src []byte, from, to int) error {
	var b bytes.Buffer
	b.Write(src[:from])
	b.WriteString(c.becomes)
	b.Write(bytes.Repeat([]byte("\n"), bytes.Count(src[from:to], []byte("\n"))))
	b.Write(src[to:])
	if _, err := parser.ParseFile(token.NewFileSet(), name, b.Bytes(), parser.SkipObjectResolution); err != nil {
		return errors.Join(errors.New("it is no Go any more"), err)
	}
	return os.WriteFile(name, b.Bytes(), 0o644)
}

// declarations returns the values of constants, and the functions and methods,
// that have this name in the file.
func declarations(file *ast.File, name string) []ast.Node {
	var out []ast.Node
	for _, d := range file.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if qualified(d) == name {
				out = append(out, d)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				if v, ok := s.(*ast.ValueSpec); ok && d.Tok == token.CONST && len(v.Names) == 1 && v.Names[0].Name == name {
					out = append(out, v)
				}
			}
		}
	}
	return out
}

// qualified is "Type.name" for a method, "name" for a function.
func qualified(d *ast.FuncDecl) string {
	if d.Recv == nil {
		return d.Name.Name
	}
	t := d.Recv.List[0].Type
	if star, ok := t.(*ast.StarExpr); ok {
		t = star.X
	}
	return text(t) + "." + d.Name.Name
}

// text is an expression as gofmt writes it on one line.
func text(n ast.Expr) string {
	var b bytes.Buffer
	if printer.Fprint(&b, token.NewFileSet(), n) != nil {
		return ""
	}
	return b.String()
}
