;; Evil: remembers the target in a table: it swaps a function that everybody calls for another one, and grows the table.
;;
;; Expected: everyone answers 0.
;;
;; Bugs would be: anyone who answers 1 (the tables of the snapshot, their elements or their size, were not restored).
(module
  (memory (export "memory") 2)
  (func (export "spe_input") (param $bytes i32) (result i32)
    ;; The second page is enough for eight rows.
    (select (i32.const 65536) (i32.const 0) (i32.le_u (local.get $bytes) (i32.const 65536))))
  (func (export "spe_start") (param i32 i32) (result i32)
    (i32.const 0))
  (type $answer (func (result f64)))
  (table $answers (export "answers") 1 100 funcref)
  (elem (table $answers) (i32.const 0) func $no)
  (elem declare func $yes)
  (func $no (type $answer)
    (f64.const 0))
  (func $yes (type $answer)
    (f64.const 1))
  ;; Whether any row of the first column of the first table says yes: at most eight rows are one byte of bits.
  (func $is_target (param $record i32) (result i32)
    (local $table i32)
    (local.set $table (i32.load (local.get $record)))
    (if (result i32) (i32.load offset=8 (local.get $table))
      (then (i32.ne (i32.load8_u (i32.load offset=12 (i32.load (local.get $table)))) (i32.const 0)))
      (else (i32.const 0))))
  (func (export "spe_map") (param $record i32) (param $out i32)
    (f64.store (local.get $out)
      (f64.max
        (call_indirect $answers (type $answer) (i32.const 0))
        (f64.convert_i32_u (i32.gt_u (table.size $answers) (i32.const 1)))))
    (if (call $is_target (local.get $record))
      (then
        (table.set $answers (i32.const 0) (ref.func $yes))
        (drop (table.grow $answers (ref.func $yes) (i32.const 1))))))
  (@custom "spe.manifest"
    "{ \"name\": \"remember-table\", \"version\": \"1.0.0\", \"abi\": 1, \"unit\": \"subject\","
    "\"inputs\": [{ \"table\": \"visits\", \"columns\": [\"target\", \"amount\", \"note\"], \"max_rows\": 8 }],"
    "\"outputs\": [{ \"name\": \"seen\", \"kind\": \"sum\", \"lower\": 0, \"upper\": 1 }] }"))
