package keys_test

import (
	"os"
	"testing"

	"github.com/voidbox-run/voidbox/internal/testbin"
)

func TestMain(m *testing.M) { os.Exit(testbin.Run(m)) }
