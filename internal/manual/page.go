package manual

import (
	"fmt"
	"strings"
	"time"

	"github.com/cpuguy83/go-md2man/v2/md2man"
)

// Page is one page of the manual.
type Page struct {
	Name    string // as warren-status
	Section int    // 1, 5 or 8
	text    strings.Builder
}

// File is the name that man finds the page by.
func (p *Page) File() string { return fmt.Sprintf("%s.%d", p.Name, p.Section) }

// Roff renders the page, with the version and the date at its foot.
func (p *Page) Roff(version string, date time.Time) []byte {
	head := fmt.Sprintf("%% %s %d %s \"Warren %s\" \"Warren\"\n\n", strings.ToUpper(p.Name), p.Section, date.UTC().Format(time.DateOnly), version)
	return md2man.Render([]byte(head + p.text.String()))
}

// newPage begins a page. what says what it is about, in a line without a dot.
func newPage(name string, section int, what string) *Page {
	p := &Page{Name: name, Section: section}
	p.section("NAME")
	p.printf("%s - %s\n\n", escape(name), escape(what))
	return p
}

func (p *Page) printf(format string, args ...any) { fmt.Fprintf(&p.text, format, args...) }

// section and subsection begin one. The title is plain text.
func (p *Page) section(title string)    { p.printf("# %s\n\n", escape(title)) }
func (p *Page) subsection(title string) { p.printf("### %s\n\n", escape(title)) }

// item is one of a list of terms. The term is Markdown already, the text is plain.
func (p *Page) item(term, text string) { p.printf("%s\n: %s\n\n", term, escape(oneLine(text))) }

// prose writes plain text: paragraphs with empty lines between them, and lines that are
// indented by two spaces or more as they stand.
func (p *Page) prose(text string) {
	var block []string
	verbatim := false
	flush := func() {
		switch {
		case len(block) == 0:
		case verbatim:
			p.code(block)
		default:
			p.printf("%s\n\n", escape(strings.Join(block, "\n")))
		}
		block = nil
	}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if line == "" {
			flush()
			continue
		}
		if is := strings.HasPrefix(line, "  "); is != verbatim {
			flush()
			verbatim = is
		}
		block = append(block, line)
	}
	flush()
}

// code writes lines as they stand.
func (p *Page) code(lines []string) {
	for _, line := range lines {
		p.printf("    %s\n", line)
	}
	p.printf("\n")
}

// escape is plain text in Markdown, but for what `has this form` already.
func escape(text string) string {
	parts := strings.Split(text, "`")
	for i := range parts {
		if i%2 == 0 || len(parts)%2 == 0 { // outside of `…`, or these do not come in pairs
			parts[i] = escapeAll(parts[i])
		}
	}
	if len(parts)%2 == 0 {
		return strings.Join(parts, "\\`")
	}
	return strings.Join(parts, "`")
}

var markdown = strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "[", `\[`, "]", `\]`, "<", `\<`, ">", `\>`, "#", `\#`, "&", "&amp;",
	"-", `\-`, "+", `\+`, "|", `\|`, "~", `\~`, "!", `\!`, "(", `\(`, ")", `\)`, "{", `\{`, "}", `\}`)

func escapeAll(text string) string { return markdown.Replace(text) }

func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
