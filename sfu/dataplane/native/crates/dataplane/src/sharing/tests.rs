use super::*;

#[test]
fn what_is_wanted_moves_with_the_numbers_of_encodings() {
    let wants = Wants { encodings: bit(0) | bit(2), routes: 3 };
    let mut share = Share { with: 1, wants };
    // The lowest is gone, the highest is the lowest now.
    share.renumber(&[(1, 1), (2, 0)]);
    assert_eq!(share, Share { with: 1, wants: Wants { encodings: bit(0), ..wants } });
}
