//! SmartModules that the SPU runs over the records: asking for them, and using what they write.

use super::super::super::Cluster;
use super::{End, Fetched, Fetcher, HANDED_ON_BYTES, count};
use crate::{SpuChain, SpuOutput};
use anyhow::{Result, anyhow};
use fluvio::consumer::{SmartModuleExtraParams, SmartModuleInvocation, SmartModuleInvocationWasm, SmartModuleKind};
use fluvio_spu_schema::server::stream_fetch::DefaultStreamFetchResponse;
use std::collections::BTreeMap;
use tokio::sync::mpsc::Sender;

impl Fetcher {
    /// Hands on what modules made of batches. A batch that was processed twice is left out; behind a
    /// hole nothing is used.
    pub(super) async fn use_outputs(
        &mut self,
        chain: &SpuChain,
        response: DefaultStreamFetchResponse,
        out: &Sender<Result<Fetched>>,
    ) -> Result<Option<i32>, End> {
        let mut values = Vec::new();
        for batch in response.partition.records.batches {
            let records = batch.memory_records().map_err(|e| End::Again(anyhow!(e)))?;
            values.extend(records.into_iter().map(|record| record.into_value().into_vec()));
        }
        let (outputs, whole) = in_order(chain, self.position, values).map_err(End::Refused)?;
        if !whole {
            count(&self.progress.unexpected_offsets);
        }
        let (mut gathered, mut bytes) = (Vec::new(), 0);
        for output in outputs {
            self.position = output.range.end;
            bytes += output.value.len();
            gathered.push(output);
            if bytes >= HANDED_ON_BYTES {
                let outputs = std::mem::take(&mut gathered);
                out.send(Ok(Fetched::Outputs(outputs))).await.map_err(|_| End::Dropped)?;
                bytes = 0;
            }
        }
        if !gathered.is_empty() {
            out.send(Ok(Fetched::Outputs(gathered))).await.map_err(|_| End::Dropped)?;
        }
        Ok(None)
    }
}

/// The outputs that follow each other from `position` on, and whether these are all.
fn in_order(chain: &SpuChain, position: i64, values: Vec<Vec<u8>>) -> Result<(Vec<SpuOutput>, bool)> {
    let (mut outputs, mut next) = (Vec::new(), position);
    for value in values {
        let range =
            (chain.range)(&value).ok_or_else(|| anyhow!("the SPU sent something else than the modules write"))?;
        if range.start > next {
            return Ok((outputs, false));
        }
        if range.end > next {
            outputs.push(SpuOutput { range: next..range.end, value });
            next = range.end;
        }
    }
    Ok((outputs, true))
}

/// The modules as a request names them; refused if the cluster has others under their names.
pub(super) async fn invocations(cluster: &Cluster, chain: &SpuChain) -> Result<Vec<SmartModuleInvocation>, End> {
    let found = cluster.modules().await?;
    let mut invocations = Vec::new();
    for module in &chain.modules {
        match found.get(&module.uses) {
            Some(there) if there.hash == module.hash => {}
            Some(_) => {
                let why = "has other bytes on the cluster than here; `perfstream deploy --replace-modules`";
                return Err(End::Refused(anyhow!("the SmartModule {} {why}", module.uses)));
            }
            None => {
                let why = "is not on the cluster; `perfstream deploy` uploads it";
                return Err(End::Refused(anyhow!("the SmartModule {} {why}", module.uses)));
            }
        }
        invocations.push(SmartModuleInvocation {
            wasm: SmartModuleInvocationWasm::Predefined(module.uses.clone()),
            kind: SmartModuleKind::Generic(Default::default()),
            params: SmartModuleExtraParams::from(module.params.iter().cloned().collect::<BTreeMap<_, _>>()),
            name: Some(module.uses.clone()),
        });
    }
    Ok(invocations)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ops::Range;

    /// An output of the test's modules: the offsets in plain text.
    fn range(value: &[u8]) -> Option<Range<i64>> {
        let (start, end) = std::str::from_utf8(value).ok()?.split_once("..")?;
        Some(start.parse().ok()?..end.parse().ok()?)
    }

    #[test]
    fn outputs_follow_each_other_or_are_not_used() {
        let chain = SpuChain { modules: Vec::new(), max_bytes: 1 << 20, range };
        let taken = |position: i64, values: &[&str]| {
            let values = values.iter().map(|v| v.as_bytes().to_vec()).collect();
            let (outputs, whole) = in_order(&chain, position, values).map_err(|e| e.to_string())?;
            Ok((outputs.into_iter().map(|o| (o.range.start, o.range.end)).collect::<Vec<_>>(), whole))
        };
        let all = Ok::<_, String>;
        assert_eq!(taken(0, &["0..3", "3..4", "4..9"]), all((vec![(0, 3), (3, 4), (4, 9)], true)));
        // Processed again after an answer that overflowed, as a whole or in part.
        assert_eq!(taken(4, &["0..3", "3..4", "4..9"]), all((vec![(4, 9)], true)));
        assert_eq!(taken(9, &["0..3", "3..4", "4..9"]), all((vec![], true)));
        // Entered inside a batch.
        assert_eq!(taken(6, &["4..9", "9..10"]), all((vec![(6, 9), (9, 10)], true)));
        // A segment was skipped.
        assert_eq!(taken(0, &["0..3", "5..6", "6..7"]), all((vec![(0, 3)], false)));
        assert_eq!(taken(2, &["5..6"]), all((vec![], false)));
        assert!(taken(0, &["0..3", "{\"page\":\"/\"}"]).is_err());
    }
}
