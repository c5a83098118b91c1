package status

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

// An answer that is too long is not read to its end, and not taken for that of another version.
func TestAnswerThatIsTooLong(t *testing.T) {
	padded := func(by int) (path string) {
		return fakeDaemon(t, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, `{"routes":[]}`)
			blank := strings.Repeat(" ", 1<<16)
			for n := 0; n < by; n += len(blank) {
				if _, err := io.WriteString(w, blank); err != nil {
					return
				}
			}
		})
	}
	if _, err := GetRoutes(t.Context(), padded(0), ""); err != nil {
		t.Error(err)
	}
	if _, err := GetRoutes(t.Context(), padded(maxAnswer), ""); err == nil || err.Error() != "the daemon's answer is too long, more than 16 MiB: name a prefix or an address" {
		t.Error(err)
	}
	if _, err := Get(t.Context(), padded(2*maxAnswer)); err == nil || err.Error() != "the daemon's answer is too long, more than 16 MiB" {
		t.Error(err)
	}
}
