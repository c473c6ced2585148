// Command generate writes the fraud example's seeded data set into a folder.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/alvara-ml/alvara/examples/fraud"
)

func main() {
	size := fraud.Default
	out := flag.String("out", "data", "folder to write into")
	seed := flag.Int("seed", 20230630, "the same seed gives the same data")
	flag.IntVar(&size.Transactions, "transactions", size.Transactions, "how many transactions")
	flag.IntVar(&size.Accounts, "accounts", size.Accounts, "how many accounts")
	flag.IntVar(&size.Observations, "observations", size.Observations, "how many observations")
	flag.Parse()
	if err := fraud.Generate(context.Background(), *out, size, *seed, nil); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
