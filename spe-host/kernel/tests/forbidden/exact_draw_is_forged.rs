//~ E0451
//! Without a grant of plan, permit and policy there is no exact draw.
use spe_kernel::{disclosure::Draw, exact::ExactGrant, plan::Plan};

fn draw(plan: Plan) -> Draw {
    Draw::exact(&ExactGrant { plan })
}

fn main() {}
