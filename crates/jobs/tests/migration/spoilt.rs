//! Moves of queues whose keys somebody has changed by hand.

use mission_jobs::State;
use mission_jobs::queue::QueueError;
use mission_test_support::RedisServer;

use super::{FIXTURES, job, old_queue};

#[tokio::test]
async fn a_list_without_jobs_does_not_stop_the_move() {
    let redis = RedisServer::start().await;
    for state in State::ALL {
        redis.tell::<()>("FLUSHALL").await;
        let (queue, _) = old_queue(&redis, FIXTURES[0]).await;
        redis.tell::<()>(&format!("DEL {{test}}:state:{state}")).await;
        queue.migrate(|_| ()).await.unwrap_or_else(|error| panic!("{state}: {error}"));
    }
}

#[tokio::test]
async fn the_key_of_a_job_that_is_no_hash_is_named_and_stays() {
    for text in FIXTURES {
        let redis = RedisServer::start().await;
        let (queue, fixture) = old_queue(&redis, text).await;
        let spoilt = job(&fixture, "ready");
        redis.tell::<()>(&format!("SET {{test}}:job:{spoilt} x")).await;
        assert_eq!(queue.migrate(|_| ()).await.unwrap().unreadable, [spoilt.to_string()]);
        assert!(redis.tell::<bool>(&format!("EXISTS {{test}}:job:{spoilt}")).await);
    }
}

#[tokio::test]
async fn ids_whose_jobs_were_removed_are_dropped() {
    for text in FIXTURES {
        let redis = RedisServer::start().await;
        let (queue, fixture) = old_queue(&redis, text).await;
        let gone = job(&fixture, "ready");
        redis.tell::<()>(&format!("DEL {{test}}:job:{gone}")).await;
        let migrated = queue.migrate(|_| ()).await.unwrap();
        assert_eq!((migrated.absent, migrated.unreadable), (vec![gone.to_string()], Vec::new()));
        let left = fixture["shown"]["counts"]["ready"].as_u64().unwrap() - 1;
        assert_eq!(queue.counts().await.unwrap().of(State::Ready), left);
        let gateways = queue.gateways(100).await.unwrap();
        let ready: u64 = gateways.iter().map(|gateway| gateway.jobs.of(State::Ready)).sum();
        assert_eq!(ready, left, "of the gateways");
    }
}

#[tokio::test]
async fn a_layout_that_tells_nothing_is_said_so() {
    let redis = RedisServer::start().await;
    let (queue, _) = old_queue(&redis, FIXTURES[0]).await;
    let mut connection = redis.connect().await;
    let empty = redis::cmd("SET").arg("{test}:layout").arg("").to_owned();
    let hash = redis::cmd("HSET").arg("{test}:layout").arg("x").arg("y").to_owned();
    for (spoils, what) in [(empty, "empty"), (hash, "of type hash")] {
        redis.tell::<()>("DEL {test}:layout").await;
        spoils.query_async::<()>(&mut connection).await.unwrap();
        for error in
            [queue.migration().await.unwrap_err(), queue.migrate(|_| ()).await.unwrap_err()]
        {
            let (key, what) = ("{test}:layout".to_owned(), what.to_owned());
            assert_eq!(error, QueueError::UnknownLayout { key, what });
        }
    }
}
