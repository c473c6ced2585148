package jobs

import (
	"os"
	"testing"

	"github.com/alvara-ml/alvara/test/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Main(m)) }
