package com.apcc.m11.arch.event;

import java.io.Serializable;
import java.util.Date;

/** A double of the agent's class: its name and its fields are those that a public reader of event logs uses. */
public class Event implements Serializable {
    private static final long serialVersionUID = 1L;

    private final boolean theActiveFlag;
    private final ObjectId theObjectId;
    private final Date theTimestamp;

    public Event(long milliseconds, boolean active, ObjectId id) {
        theTimestamp = new Date(milliseconds);
        theActiveFlag = active;
        theObjectId = id;
    }
}
