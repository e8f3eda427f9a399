#!/usr/bin/env python3
"""Makes traces/longbench_lengths.csv, the table behind the LongBench generator.

Reads:  SOURCE/longbench_lengths.csv  one row per sample: prompt and prediction lengths
        SOURCE/longbench_stats.csv    one row per task: gen_cap
Writes: TARGET (default traces/longbench_lengths.csv), one row per sample, in the order of SOURCE

Natural outputs are cut at the generation cap of the task, as a server would stop them; an empty
answer counts as one token (its end).
"""

import argparse
import csv
import pathlib


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("source", type=pathlib.Path, help="folder with the two input files")
    parser.add_argument("--target", type=pathlib.Path,
                        default=pathlib.Path(__file__).parent.parent / "traces/longbench_lengths.csv")
    args = parser.parse_args()

    with open(args.source / "longbench_stats.csv", newline="") as file:
        gen_cap = {row["dataset"]: int(row["gen_cap"]) for row in csv.DictReader(file)}

    def natural(row: dict, column: str) -> int:
        return max(1, min(int(row[column]), gen_cap[row["dataset"]]))

    lines = ["task,prompt_tokens_llama2,prompt_tokens_llama3,"
             "output_tokens_llama2_7b_chat,output_tokens_llama3_8b_instruct,gen_cap"]
    with open(args.source / "longbench_lengths.csv", newline="") as file:
        for row in csv.DictReader(file):
            task = row["dataset"]
            lines.append(f"{task},{row['est_prompt_tokens_llama2']},{row['est_prompt_tokens_llama3']},"
                         f"{natural(row, 'pred_tokens_llama2_7b_chat_llama2tok')},"
                         f"{natural(row, 'pred_tokens_llama3_8b_instruct')},{gen_cap[task]}")
    temporary = args.target.with_suffix(".tmp")
    temporary.write_text("\n".join(lines) + "\n")
    temporary.replace(args.target)


if __name__ == "__main__":
    main()
